"""Between a trainer's parts and the flat table of tensors that a checkpoint is."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn


def named(prefix: str, network: nn.Module) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": value for name, value in network.state_dict().items()}


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those whose names begin with `prefix`, without it."""
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def moments(optimiser: torch.optim.Adam) -> Iterator[tuple[str, Tensor]]:
    """Adam's averages of each parameter. With a beta1 of 0 the first one is the last gradient, which no step reads."""
    unread = {"exp_avg"} if optimiser.param_groups[0]["betas"][0] == 0 else set()
    for index, slots in optimiser.state_dict()["state"].items():
        for slot in slots.keys() - unread:
            yield f"{index}.{slot}", slots[slot]


def set_moments(optimiser: torch.optim.Adam, tensors: dict[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, slot = key.split(".", 1)
        state.setdefault(int(index), {})[slot] = value
    for slots in state.values():
        slots.setdefault("exp_avg", torch.zeros_like(slots["exp_avg_sq"]))
    optimiser.load_state_dict({**optimiser.state_dict(), "state": state})


def scaler_state(scaler: torch.amp.GradScaler) -> Tensor:
    """The scale and how long it has held; empty when scaling is off."""
    state = scaler.state_dict()
    return torch.tensor([state["scale"], state["_growth_tracker"]] if state else [], dtype=torch.float64)


def set_scaler(scaler: torch.amp.GradScaler, state: Tensor) -> None:
    if scaler.is_enabled() and len(state):
        scale, held = state.tolist()
        scaler.load_state_dict({**scaler.state_dict(), "scale": scale, "_growth_tracker": int(held)})
