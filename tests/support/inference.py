"""A request of the Open Inference Protocol in which nothing is wrong, where there is a model \"tiny\"."""

from __future__ import annotations

from unikat.inference import open_inference_pb2


def infer_request(raw: bool, model: str = "tiny") -> open_inference_pb2.ModelInferRequest:
    """Inputs as messages have them, or as raw bytes."""
    request = open_inference_pb2.ModelInferRequest(model_name=model, model_version="1", outputs=[{"name": "pixels"}])
    request.parameters["format"].string_param = "webp"
    where = b'{"style": {"ink": 1, "oil": 0.5}}'
    for name, datatype, element in (("seed", "UINT64", b"\7" * 8), ("conditions", "BYTES", where)):
        tensor = request.inputs.add(name=name, datatype=datatype, shape=[1])
        if raw:
            length = b"" if datatype == "UINT64" else len(element).to_bytes(4, "little")
            request.raw_input_contents.append(length + element)
        elif datatype == "UINT64":
            tensor.contents.uint64_contents.append(7)
        else:
            tensor.contents.bytes_contents.append(element)
    return request
