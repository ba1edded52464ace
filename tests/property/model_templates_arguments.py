"""Which arguments of RunTemplates the contract refuses, and the canonical form of those it takes.

In the manner of `model_arguments`: one row for each method lists its checks in order.
"""

from copy import deepcopy
from typing import Final

from tests.property.model_arguments import (
    Request,
    check_id,
    check_id_if_set,
    check_metadata,
    check_page_size,
    check_policy,
    check_request_id,
    check_tags,
)
from tests.property.model_data_arguments import check_name, check_prefix

TEMPLATE_MUTATIONS: Final = ("PutTemplate", "DeleteTemplate", "CreateRunFromTemplate", "CloneRun")


def _retention_if_set(args: Request) -> None:
    if "retention" in args:
        check_policy(args, "retention")


_name = check_name("name")
_new_id_if_set, _parent_if_set = check_id_if_set("new_run_id"), check_id_if_set("parent_run_id")
_fields = (check_tags, check_metadata, _retention_if_set)

TEMPLATE_CHECKS: Final = {
    "PutTemplate": (_name, *_fields, check_request_id),
    "GetTemplate": (_name,),
    "ListTemplates": (check_prefix, check_page_size),
    "DeleteTemplate": (_name, check_request_id),
    "CreateRunFromTemplate": (
        _name,
        check_id_if_set("run_id"),
        _parent_if_set,
        *_fields,
        check_request_id,
    ),
    "CloneRun": (check_id("run_id"), _new_id_if_set, check_metadata, check_request_id),
}
"""The checks of each of the 6 methods, in their order."""


def checked_template(method: str, request: Request) -> Request:
    """Return a request of RunTemplates in canonical form.

    Raises:
        Refused: An argument is at fault.
    """
    args = deepcopy(request)
    for check in TEMPLATE_CHECKS[method]:
        check(args)
    return args
