"""`tritonclient` as it comes from PyPI, in a process of its own: it has messages of the same names as the service.

`python -m tests.service.stock_client HOST:PORT` reads steps, a JSON value a line, and writes what each came to.
"""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
NUMBERS: Final = {"UINT64": "uint64", "UINT32": "uint32", "FP32": "float32", "INT64": "int64", "UINT8": "uint8"}


def stock(target: str, *steps: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the steps came to: {"found": value}, or {"code": status code, "message": text}."""
    program = [sys.executable, "-W", "ignore", "-m", "tests.service.stock_client", target]
    lines = "\n".join(map(json.dumps, steps))
    done = subprocess.run(program, input=lines, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def infer(model: str, outputs: tuple[str, ...] = (), version: str = "", **more: object) -> dict[str, Any]:
    """A step. `inputs` is name -> [datatype, shape, elements]; texts are BYTES."""
    return {"call": "infer", "model": model, "version": version, "outputs": outputs} | more


def main() -> None:
    """Run the steps."""
    import tritonclient.grpc as triton
    from tritonclient.utils import InferenceServerException

    with triton.InferenceServerClient(sys.argv[1]) as client:
        for line in sys.stdin:
            step = json.loads(line)
            try:
                said: dict[str, Any] = {"found": _done(client, triton, step)}
            except InferenceServerException as error:
                said = {"code": error.status(), "message": error.message()}
            print(json.dumps(said), flush=True)


def _done(client: Any, triton: Any, step: Mapping[str, Any]) -> Any:  # noqa: ANN401  # it has no types
    if step["call"] != "infer":
        return getattr(client, step["call"])(*step.get("arguments", ()), **step.get("options", {}))
    inputs = [_tensor(triton, name, *tensor) for name, tensor in step.get("inputs", {}).items()]
    outputs = [triton.InferRequestedOutput(name) for name in step["outputs"]] or None
    result = client.infer(
        step["model"], inputs, step["version"], outputs, request_id=step.get("id", ""),
        parameters=step.get("parameters"), headers=step.get("headers"), client_timeout=60,
    )  # fmt: skip
    said = result.get_response(as_json=True)
    return {"response": said, "outputs": {name["name"]: _array(result, name["name"]) for name in said["outputs"]}}


def _tensor(triton: Any, name: str, datatype: str, shape: list[int], elements: list[Any]) -> Any:  # noqa: ANN401
    import numpy as np

    tensor = triton.InferInput(name, shape, datatype)
    kind = np.dtype(NUMBERS.get(datatype, "object"))
    texts = [each.encode() if isinstance(each, str) else each for each in elements]
    tensor.set_data_from_numpy(np.array(texts, dtype=kind).reshape(shape))
    return tensor


def _array(result: Any, name: str) -> dict[str, Any]:  # noqa: ANN401
    found = result.as_numpy(name)
    is_text = found.dtype.kind == "O"
    parts = list(found.ravel()) if is_text else [found.tobytes()]
    return {"shape": list(found.shape), "content": [base64.b64encode(part).decode() for part in parts]}


if __name__ == "__main__":
    main()
