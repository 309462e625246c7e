"""Random bodies, made from the schema itself."""

from hypothesis import strategies as st

from ekslab.kube.api.schema.model import Kind, Schema

SCALARS = {
    Kind.STRING: st.sampled_from(["", "a", "ü", "b c"]),
    Kind.INTEGER: st.sampled_from([0, 1, -5, 2**31 - 1, 2**40]),
    Kind.NUMBER: st.sampled_from([0, 1.5]),
    Kind.BOOLEAN: st.booleans(),
    Kind.INT_OR_STRING: st.sampled_from([0, 80, "", "http"]),
    Kind.QUANTITY: st.sampled_from(["0", "1000m", "0.5Gi", "1Ki", 2, 0.1, "x"]),
    Kind.TIME: st.sampled_from(["2026-01-02T03:04:05+01:00", "x", ""]),
    Kind.MICRO_TIME: st.sampled_from(["2026-01-02T03:04:05.000001Z", "x"]),
    Kind.DURATION: st.just("1s"),
    Kind.BYTES: st.sampled_from(["", "aGk=", "%"]),
    Kind.ANY: st.sampled_from([{"a": None}, {}]),
}
WRONG = st.sampled_from([None, 1, "x", [], {}, 1.5, True])


def values(schema: Schema, depth: int) -> st.SearchStrategy:
    if schema.kind is Kind.OBJECT:
        return objects(schema, depth - 1) if depth > 0 else st.just({})
    if schema.kind is Kind.LIST:
        assert schema.element is not None
        return st.lists(values(schema.element, depth), max_size=2)
    if schema.kind is Kind.MAP:
        assert schema.element is not None
        return st.dictionaries(st.sampled_from(["a", "b"]), values(schema.element, depth))
    return SCALARS[schema.kind]


@st.composite
def objects(draw: st.DrawFn, schema: Schema, depth: int) -> dict:
    names = draw(st.lists(st.sampled_from(sorted(schema.fields)), max_size=5, unique=True))
    body = {}
    for name in names:
        odd = draw(st.integers(0, 40)) == 0
        body[name] = draw(WRONG if odd else values(schema.fields[name], depth))
    if draw(st.integers(0, 40)) == 0:
        body["unknownField"] = 1
    return body
