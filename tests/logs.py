"""Small logs of one team, and writers of other people's formats, each with its own library."""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass

import h5py
import numpy as np
import pyarrow
import pyarrow.parquet
import tensorstore

OWN = ((0, 2, 4), (1, 4))
"""Which features of the state each of two agents sees: one is shared."""
WIDTHS = (2, 1)


@dataclass(frozen=True, kw_only=True)
class Play:
    """One episode: states `[T+1 5]`, actions per agent `[T U]`, rewards `[T]`, how it ended."""

    state: np.ndarray
    action: tuple[np.ndarray, ...]
    reward: np.ndarray
    terminated: bool

    @property
    def seen(self):
        """What each agent observes, `[T+1 O]`."""
        return tuple(self.state[:, own] for own in OWN)


def play(lengths=(3, 5, 1, 4), terminated=(0, 1, 0, 1), seed=0):
    """Episodes of random numbers."""
    random = np.random.default_rng(seed)
    return [
        Play(
            state=random.normal(size=(steps + 1, 5)).astype(np.float32),
            action=tuple(random.uniform(-1, 1, (steps, w)).astype(np.float32) for w in WIDTHS),
            reward=random.normal(size=steps).astype(np.float32),
            terminated=bool(ended),
        )
        for steps, ended in zip(lengths, terminated, strict=True)
    ]


def flat(plays, *, final=False):
    """The episodes end to end as D4RL has them; `final`: one more row for each final state."""
    fields = {name: [] for name in ("state", "next", "action", "reward", "terminal", "timeout")}
    for one in plays:
        steps = len(one.reward) + final
        last = np.arange(steps) == steps - 1
        action = np.concatenate(one.action, axis=1)
        more = ((0, int(final)), (0, 0))
        fields["state"].append(one.state[:steps])
        fields["next"].append(one.state[1:])
        fields["action"].append(np.pad(action, more))
        fields["reward"].append(np.pad(one.reward, more[0]))
        fields["terminal"].append(last & one.terminated)
        fields["timeout"].append(last & (not one.terminated))
    return {name: np.concatenate(parts) for name, parts in fields.items()}


def write_d4rl(path, plays, *, following=True, **change):
    """D4RL's HDF5; `change` replaces or, with None, leaves out arrays."""
    rows = flat(plays)
    arrays = {
        "observations": rows["state"],
        "actions": rows["action"],
        "rewards": rows["reward"],
        "terminals": rows["terminal"],
        "timeouts": rows["timeout"],
        **({"next_observations": rows["next"]} if following else {}),
        **change,
    }
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            if array is not None:
                file.create_dataset(name, data=array)
        file["infos/qpos"] = np.zeros(3)
    return path


def write_vault(path, plays, *, streams=1, pad=0.0, state=True, legals=0, block=6, **change):
    """A vault as flashbax writes it: zarr over ocdbt, gzip, a time axis of 10e12.

    Blocks have `block` rows; None: as many as flashbax leaves them, which takes longer.

    Every stream holds the episodes, each with a last row for its final state; agents are padded to
    the widest with `pad`, actions with 0. Rows that were never written follow.
    """
    rows = flat(plays, final=True)
    count = len(rows["reward"])
    seen = np.full((count, 2, 3), pad, np.float32)
    action = np.zeros((count, 2, 2), np.float32)
    for agent, (own, width) in enumerate(zip(OWN, WIDTHS, strict=True)):
        seen[:, agent, : len(own)] = rows["state"][:, own]
        first = sum(WIDTHS[:agent])
        action[:, agent, :width] = rows["action"][:, first : first + width]
    leaves = {
        "observations.": seen,
        "actions.": action,
        "rewards.": np.stack([rows["reward"]] * 2, axis=1),
        "terminals.": np.stack([rows["terminal"]] * 2, axis=1),
        "truncations.": np.stack([rows["timeout"]] * 2, axis=1),
        **({"infos.state.": rows["state"]} if state else {}),
        **({"infos.legals.": np.ones((count, 2, legals), np.bool_)} if legals else {}),
        **change,
    }
    path.mkdir(parents=True)
    shape = {"infos": {}}
    for name, array in leaves.items():
        group, _, inner = name.strip(".").partition(".")
        (shape[group] if inner else shape)[inner or group] = str((streams, 8, *array.shape[1:]))
    document = {"version": 1.2, "structure_shape": shape, "structure_dtype": {}}
    (path / "metadata.json").write_text(json.dumps(document))
    for name, array in leaves.items():
        whole = (streams, int(10e12), *array.shape[1:])
        leaf = _zarr(path, name, whole, array.dtype, block)
        leaf[:, : len(array)].write(np.stack([array] * streams)).result()
    _zarr(path, "vault_index", (1,), np.dtype(np.int32)).write([count]).result()
    return path


def _zarr(path, name, shape, dtype, block=None):
    chunks = {} if block is None else {"chunks": (shape[0], block, *shape[2:])}
    return tensorstore.open(
        {
            "driver": "zarr",
            "kvstore": {"driver": "ocdbt", "base": f"file://{path}", "path": name},
            "metadata": {"compressor": {"id": "gzip", "level": 5}, **chunks},
            "context": {"file_io_sync": False},
        },
        shape=shape,
        dtype=dtype,
        create=True,
    ).result()


def standardise(rows, agents=2):
    """What OMIGA stores for states `[N S]`: every agent's id appended, each row standardised."""
    ids = np.broadcast_to(np.eye(agents), (len(rows), agents, agents))
    wide = np.concatenate([np.repeat(rows[:, None], agents, axis=1), ids], axis=2)
    wide = (wide - wide.mean(axis=2, keepdims=True)) / wide.std(axis=2, keepdims=True)
    return wide.astype(np.float32)


def write_omiga(path, plays, **change):
    """OMIGA's HDF5: a last row for each final state, with `d` set at the time limit too."""
    rows = flat(plays, final=True)
    seen = standardise(rows["state"])
    action = np.zeros((len(seen), 2, 2), np.float32)
    action[:, 0], action[:, 1, 0] = rows["action"][:, :2], rows["action"][:, 2]
    ended = rows["terminal"] | rows["timeout"]
    reward = np.where(ended, 77, rows["reward"])[:, None]
    arrays = {"s": seen, "o": seen, "a": action, "r": reward, "d": np.stack([ended] * 2, axis=1)}
    with h5py.File(path, "w") as file:
        for name, array in {**arrays, **change}.items():
            file.create_dataset(name, data=array)
    return path


def write_minari(root, plays, spaces, parts, monkeypatch, storage="hdf5", **infos):
    """A dataset of Minari's own making.

    Args:
        root: where its datasets lie.
        plays: the episodes.
        spaces: of observations and actions.
        parts: from an episode to its observations and actions.
        monkeypatch: pytest's.
        storage: Minari's name for it.
        infos: from names to functions of an episode.
    """
    import minari
    from minari.data_collector import EpisodeBuffer

    monkeypatch.setenv("MINARI_DATASETS_PATH", str(root))
    buffers = []
    for number, one in enumerate(plays):
        last = np.arange(len(one.reward)) == len(one.reward) - 1
        observations, actions = parts(one)
        buffers.append(
            EpisodeBuffer(
                id=number,
                observations=observations,
                actions=actions,
                rewards=one.reward.tolist(),
                terminations=(last & one.terminated).tolist(),
                truncations=(last & (not one.terminated)).tolist(),
                infos={name: make(one) for name, make in infos.items()},
            )
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it wants to know of an environment
        minari.create_dataset_from_buffers(
            "team/test-v0",
            buffers,
            observation_space=spaces[0],
            action_space=spaces[1],
            data_format=storage,
            code_permalink="none",
            author="tests",
            author_email="tests",
            algorithm_name="none",
            description="none",
        )
    return root / "team" / "test-v0"


def canonical(plays):
    """The arrays of the canonical npz layout."""
    joined = {
        "obs/wide": [one.seen[0] for one in plays],
        "obs/narrow": [one.seen[1] for one in plays],
        "state": [one.state for one in plays],
        "act/wide": [one.action[0] for one in plays],
        "act/narrow": [one.action[1] for one in plays],
        "reward": [one.reward for one in plays],
        "terminated": [
            (np.arange(len(one.reward)) == len(one.reward) - 1) & one.terminated for one in plays
        ],
    }
    lengths = np.array([len(one.reward) for one in plays])
    return {**{k: np.concatenate(v) for k, v in joined.items()}, "episode_length": lengths}


def write_lerobot(path, plays, files=1, **change):
    """LeRobot's v3 layout: a row per step, no state after the last one."""
    rows = flat(plays)
    number = np.repeat(np.arange(len(plays)), [len(one.reward) for one in plays])
    columns = {
        "observation.state": list(rows["state"]),
        "action": list(rows["action"]),
        "episode_index": number,
        "next.reward": rows["reward"],
        "next.done": rows["terminal"] | rows["timeout"],
        **change,
    }
    columns = {name: column for name, column in columns.items() if column is not None}
    names = {"motors": ["a", "b", "c", "d", "goal"]}
    features = {name: {"dtype": "float32", "names": None} for name in columns}
    features["observation.state"]["names"] = names
    (path / "meta").mkdir(parents=True)
    (path / "meta/info.json").write_text(
        json.dumps({"codebase_version": "v3.0", "fps": 10, "features": features})
    )
    (path / "data/chunk-000").mkdir(parents=True)
    table = pyarrow.table(columns)
    for file in range(files):
        mine = pyarrow.array(number * files // len(plays) == file)
        target = path / f"data/chunk-000/file-{file:03d}.parquet"
        pyarrow.parquet.write_table(table.filter(mine), target)
    return path
