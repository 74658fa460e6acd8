"""One agent's exported policy, by onnxruntime and numpy alone.

python run_policy.py AGENT                    # replays the contract's example, says how far off
python run_policy.py AGENT OBSERVATIONS.npy   # one episode, a row a step; prints an action each
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime


class Policy:
    """An agent that acts step by step: `reset` at the start of every episode, then `act`."""

    def __init__(self, folder: str | Path) -> None:
        """Opens an agent's folder."""
        self.contract = json.loads((Path(folder) / "policy_contract.json").read_text("utf-8"))
        self._session = onnxruntime.InferenceSession(Path(folder) / "policy.onnx")
        self._memory = self.contract["inputs"].get("memory")
        self.reset()

    def reset(self) -> None:
        """Forgets the episode."""
        shape = self._memory["shape"] if self._memory else (0,)
        self._kept = np.zeros(shape, np.float32)

    def act(self, observation: object) -> np.ndarray:
        """Takes what the agent sees, in the contract's order and units; returns its action."""
        seen = self.contract["inputs"]["observation"]
        given = {"observation": np.asarray(observation, seen["dtype"])}
        if self._memory:
            given["memory"] = self._kept
        action, *told = self._session.run(None, given)
        self._kept = told[-1] if self._memory else self._kept
        return np.asarray(action)


if __name__ == "__main__":
    policy = Policy(sys.argv[1])
    example = policy.contract["example"]
    rows = np.load(sys.argv[2]) if len(sys.argv) > 2 else np.array(example["observations"])
    actions = np.array([policy.act(row) for row in rows])
    if len(sys.argv) > 2:
        np.savetxt(sys.stdout, actions)
    else:
        print("largest difference:", np.abs(actions - example["actions"]).max())
