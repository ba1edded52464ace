"""Who may call what: a row for each method of each service. What has no row cannot be served.

`docs/reference/access.md` is rendered from here.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor

from runindex_server.access.caller import Role

OPEN: Final = None
"""Nobody is asked who they are."""

HEALTH: Final = "grpc.health.v1.Health"
REFLECTION: Final = "grpc.reflection.v1alpha.ServerReflection"

POLICY: Final[Mapping[str, Mapping[str, Role | None]]] = MappingProxyType(
    {
        "runindex.v1.RunIndex": {
            "CreateRun": Role.WRITER,
            "GetRun": Role.READER,
            "ListRuns": Role.READER,
            "RunExists": Role.READER,
            "UpdateRunMetadata": Role.WRITER,
            "CloseRun": Role.WRITER,
            "PauseRun": Role.WRITER,
            "ResumeRun": Role.WRITER,
            "FailRun": Role.WRITER,
            "CancelRun": Role.WRITER,
            "ArchiveRun": Role.WRITER,
            "DeleteRun": Role.ADMIN,
            "QueryRunsByState": Role.READER,
            "QueryRunsByTag": Role.READER,
            "CountRuns": Role.READER,
            "SearchRuns": Role.READER,
            "AddRunTags": Role.WRITER,
            "RemoveRunTags": Role.WRITER,
            "GetRunTags": Role.READER,
            "CreateChildRun": Role.WRITER,
            "GetChildRuns": Role.READER,
            "GetParentRun": Role.READER,
            "SetRunRetention": Role.ADMIN,
            "GetRunRetention": Role.READER,
        },
        "runindex.v1.RunData": {
            "PutValue": Role.WRITER,
            "GetValue": Role.READER,
            "DeleteValue": Role.WRITER,
            "ListValues": Role.READER,
            "GetValueHistory": Role.READER,
            "AppendEvents": Role.WRITER,
            "ReadEvents": Role.READER,
            "CountEvents": Role.READER,
            "SetState": Role.WRITER,
            "GetState": Role.READER,
            "CompareAndSetState": Role.WRITER,
            "ListStates": Role.READER,
            "SetDocument": Role.WRITER,
            "GetDocument": Role.READER,
            "MergeDocument": Role.WRITER,
            "DeleteDocument": Role.WRITER,
            "ListDocuments": Role.READER,
        },
        "runindex.v1.RunInsights": {
            "GetRunStats": Role.READER,
            "GetRunHistory": Role.READER,
            "GetRunTree": Role.READER,
            "ListTags": Role.READER,
            "ListStaleRuns": Role.READER,
            "ListErrors": Role.READER,
        },
        "runindex.v1.RunTemplates": {
            "PutTemplate": Role.ADMIN,
            "GetTemplate": Role.READER,
            "ListTemplates": Role.READER,
            "DeleteTemplate": Role.ADMIN,
            "CreateRunFromTemplate": Role.WRITER,
            "CloneRun": Role.WRITER,
        },
        "runindex.v1.Maintenance": {
            "GetStatus": Role.READER,
            "Compact": Role.ADMIN,
            "Verify": Role.ADMIN,
            "Backup": Role.ADMIN,
        },
        HEALTH: {"Check": OPEN, "Watch": OPEN},
        REFLECTION: {"ServerReflectionInfo": Role.READER},
    }
)
"""The role that each method takes; OPEN for none. Deleting, and what leads to it, takes an admin."""


def role_for(method: MethodDescriptor) -> Role | None:
    """Return the role that a method takes; OPEN for none.

    Raises:
        PolicyIncomplete: The policy does not say.
    """
    try:
        return POLICY[method.containing_service.full_name][method.name]
    except KeyError as error:
        msg = f"the policy has no row for {method.full_name}"
        raise PolicyIncomplete(msg) from error


class PolicyIncomplete(Exception):
    """A method is served of which the policy says nothing, or the policy names one that is not served."""


def check_policy(services: Iterable[ServiceDescriptor]) -> None:
    """Compare the policy with services, which are all that a server is to serve.

    Raises:
        PolicyIncomplete: They differ.
    """
    served = {service.full_name: set(service.methods_by_name) for service in services}
    told = {service: set(methods) for service, methods in POLICY.items()}
    if served != told:
        differing = sorted(
            f"{service}/{method}"
            for service in {*served, *told}
            for method in served.get(service, set()) ^ told.get(service, set())
        )
        msg = f"not both served and in the policy: {', '.join(differing)}"
        raise PolicyIncomplete(msg)
