"""What was measured, as a table and as JSON: medians, spreads, ratios; and rates of windows."""

import json

import pytest

from benchmarks.speed import table
from benchmarks.speed.table import Part, Row
from benchmarks.speed.timing import Effort, per_window, repeat

PARTS = (
    Part(precision="fp32", flop=200.0, matmul="10x8x8", rate=1e3),
    Part(precision="bf16", flop=800.0, matmul="10x8x8", rate=8e3),
)
ROW = Row(name="forward", size="small", rates=(3.0, 1.0, 2.0), parts=PARTS, more={"epochs": 5.0})
STEPPED = Row(name="simulator stepping", size="-", rates=(123456.0,))


def test_a_ratio_is_the_time_of_the_matmuls_over_the_time_taken():
    assert ROW.ratio == pytest.approx((200 / 1e3 + 800 / 8e3) / (1 / 2.0))


def test_json_holds_medians_and_spreads_and_null_where_there_is_no_matmul():
    read = json.loads(table.dump({"cores": 2}, [ROW, STEPPED], profiles=[]))
    row, stepped = read["rows"]
    assert read["machine"] == {"cores": 2}
    assert read["profiles"] == []
    assert (row["rows_per_s"], row["spread"], row["flops"]) == (2.0, [1.0, 3.0], 2000.0)
    assert row["flop_per_row"] == 1000.0
    assert row["ratio_to_matmul"] == pytest.approx(0.6)
    assert row["epochs"] == 5.0
    assert [part["precision"] for part in row["parts"]] == ["fp32", "bf16"]
    assert (stepped["flops"], stepped["ratio_to_matmul"], stepped["flop_per_row"]) == (None,) * 3


def test_the_table_has_one_aligned_line_per_row():
    head, first, second = table.text([ROW, STEPPED]).splitlines()[:3]
    assert len(head) == len(first) == len(second)
    assert " ".join(first.split()) == "forward small 2 1 3 1,000 0.0 0.600 epochs 5"
    assert " ".join(second.split()) == "simulator stepping - 123,456 123,456 123,456 - - -"
    assert head.index("rows/s") + len("rows/s") == second.index(" 123,456") + len(" 123,456")


def test_rows_count_in_the_window_in_which_they_were_done():
    finished = [(9.9, 100), (10.0, 1), (10.4, 2), (10.6, 4), (11.0, 100), (10.1, 8)]
    assert per_window(finished, 10.0, 0.5, 2) == [22.0, 8.0]


def test_a_short_call_is_made_more_often_and_a_long_one_once_a_repeat():
    effort = Effort(repeats=3, repeat_s=0.01, windows=0, window_s=0, warm_up_s=0, rounds=0)
    calls = []
    rates = repeat(lambda: calls.append(sum(range(20_000))), 10, effort)
    assert len(rates) == 3
    assert min(rates) > 0
    assert len(calls) >= 2 + 3 * 2
    once = []
    repeat(lambda: once.append(1), 10, Effort(**(vars(effort) | {"repeat_s": 1e-12})))
    assert len(once) == 2 + 3
