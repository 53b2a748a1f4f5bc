"""MLflow's error form, `{"error_code", "message"}`, and our error families as its codes."""

from __future__ import annotations

import logging

from starlette.requests import Request
from starlette.responses import Response

from everloop.errors import EverloopError
from everloop.server.errors import json_response

log = logging.getLogger(__name__)

STATUS_BY_CODE = {
    "BAD_REQUEST": 400,
    "ENDPOINT_NOT_FOUND": 404,
    "INTERNAL_ERROR": 500,
    "INVALID_PARAMETER_VALUE": 400,
    "NOT_IMPLEMENTED": 501,
    "PERMISSION_DENIED": 403,
    "RESOURCE_ALREADY_EXISTS": 400,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "TEMPORARILY_UNAVAILABLE": 503,
}
_CODE_BY_FAMILY = {
    "not_found": "RESOURCE_DOES_NOT_EXIST",
    "conflict": "INVALID_PARAMETER_VALUE",
    "invalid": "INVALID_PARAMETER_VALUE",
    "too_large": "INVALID_PARAMETER_VALUE",
    "denied": "PERMISSION_DENIED",
    "unavailable": "TEMPORARILY_UNAVAILABLE",
    "not_installed": "NOT_IMPLEMENTED",
}


def refuse(code: str, message: str) -> Response:
    return json_response({"error_code": code, "message": message}, STATUS_BY_CODE[code])


def answer_known(error: EverloopError, conflict: str = "INVALID_PARAMETER_VALUE") -> Response:
    """Answer an error of ours; `conflict` is the code that the call has for what is there already."""
    code = conflict if error.family == "conflict" else _CODE_BY_FAMILY.get(error.family, "INTERNAL_ERROR")
    return refuse(code, str(error))


def answer_unknown(request: Request, error: Exception) -> Response:
    """The process's edge: what nobody expected is logged whole and answered without its inside."""
    log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return refuse("INTERNAL_ERROR", f"{type(error).__name__} inside the hub; its log has the whole story")
