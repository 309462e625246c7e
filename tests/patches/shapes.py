"""Schemas of real types, as far as these tests look into them."""

from ekslab.kube.api.schema.model import Kind, ListType, Presence, Schema


def text(default: object = None) -> Schema:
    return Schema(Kind.STRING, default=default)


def integer() -> Schema:
    return Schema(Kind.INTEGER)


def record(type_name: str, /, **fields: Schema) -> Schema:
    """A struct behind a pointer."""
    return Schema(Kind.OBJECT, name=type_name, fields=fields)


def written(schema: Schema) -> Schema:
    """A field that is always on the wire: no pointer, or without `omitempty`."""
    schema.presence = Presence.WRITTEN
    return schema


def struct(type_name: str, /, **fields: Schema) -> Schema:
    """A struct that is no pointer."""
    return written(record(type_name, **fields))


def mapping() -> Schema:
    return Schema(Kind.MAP, element=text())


def keyed(
    element: Schema, *keys: str, merge_key: str = "", defaults: dict[str, object] | None = None
) -> Schema:
    """A list that is a map of its keys, merged by its merge key in strategic patches."""
    return Schema(
        Kind.LIST,
        element=element,
        list_type=ListType.MAP,
        map_keys=keys,
        key_defaults=defaults or {},
        patch_strategy=("merge",),
        patch_merge_key=merge_key or keys[0],
    )


def string_set() -> Schema:
    return Schema(Kind.LIST, element=text(), list_type=ListType.SET, patch_strategy=("merge",))


def atomic_list(element: Schema | None = None) -> Schema:
    return Schema(Kind.LIST, element=element or text())


CONTAINER_PORT = record("ContainerPort", containerPort=integer(), protocol=text("TCP"), name=text())
CONTAINER = record(
    "Container",
    name=text(),
    image=text(),
    args=atomic_list(),
    env=keyed(record("EnvVar", name=text(), value=text()), "name"),
    ports=keyed(
        CONTAINER_PORT,
        "containerPort",
        "protocol",
        merge_key="containerPort",
        defaults={"protocol": "TCP"},
    ),
    resources=record("Resources", limits=mapping(), requests=mapping()),
)
SELECTOR = Schema(Kind.OBJECT, name="LabelSelector", fields={"matchLabels": mapping()}, atomic=True)
META = struct(
    "ObjectMeta",
    name=text(),
    namespace=text(),
    uid=text(),
    resourceVersion=text(),
    generation=integer(),
    creationTimestamp=text(),
    labels=mapping(),
    annotations=mapping(),
    finalizers=string_set(),
    ownerReferences=keyed(record("OwnerReference", uid=text(), name=text()), "uid"),
)
POD_SPEC = struct(
    "PodSpec",
    containers=written(keyed(CONTAINER, "name")),
    nodeName=text(),
    tolerations=atomic_list(record("Toleration", key=text(), operator=text())),
)
STRATEGY = Schema(
    Kind.OBJECT,
    name="DeploymentStrategy",
    presence=Presence.WRITTEN,
    fields={"type": text(), "rollingUpdate": record("Rolling", maxSurge=integer())},
    patch_strategy=("retainKeys",),
)
CONDITIONS = keyed(record("Condition", type=text(), status=text()), "type")
DEPLOYMENT = record(
    "Deployment",
    apiVersion=text(),
    kind=text(),
    metadata=META,
    spec=struct(
        "DeploymentSpec",
        replicas=integer(),
        selector=SELECTOR,
        strategy=STRATEGY,
        template=struct("PodTemplateSpec", metadata=META, spec=POD_SPEC),
    ),
    status=struct("DeploymentStatus", replicas=integer(), conditions=CONDITIONS),
)
SERVICE_PORT = record(
    "ServicePort", port=integer(), protocol=text("TCP"), name=text(), targetPort=integer()
)
SERVICE = record(
    "Service",
    apiVersion=text(),
    kind=text(),
    metadata=META,
    spec=struct(
        "ServiceSpec",
        type=text(),
        selector=Schema(Kind.MAP, element=text(), atomic=True),
        ports=keyed(
            SERVICE_PORT, "port", "protocol", merge_key="port", defaults={"protocol": "TCP"}
        ),
    ),
)
