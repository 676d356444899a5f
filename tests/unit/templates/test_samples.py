import jsonschema_rs
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.templates.samples import samples


def test_without_a_schema_there_is_no_field_to_count_on() -> None:
    assert samples(None) == [{}]


def test_a_schemas_own_examples_are_taken_as_they_are() -> None:
    assert samples({"examples": [{"a": 1}, {"a": 2}], "properties": {"b": {}}}) == [{"a": 1}, {"a": 2}]


def test_one_sample_has_all_fields_and_one_the_required_ones_alone() -> None:
    schema = {
        "required": ["id", "kind"],
        "properties": {
            "id": {"type": "string", "minLength": 9},
            "kind": {"enum": ["x", "y"]},
            "url": {"type": "string", "pattern": "^https?://"},
            "price": {"type": ["number", "null"], "minimum": 5},
            "items": {"type": "array", "minItems": 2, "items": {"$ref": "#/$defs/item"}},
        },
        "$defs": {"item": {"type": "object", "required": ["name"], "properties": {"name": {"default": "lamp"}}}},
    }
    full, least = samples(schema)
    assert full == {
        "id": "samplexxx",
        "kind": "x",
        "url": "https://example.com/sample",
        "price": 5,
        "items": [{"name": "lamp"}, {"name": "lamp"}],
    }
    assert least == {"id": "samplexxx", "kind": "x"}


def test_an_endless_schema_ends() -> None:
    schema = {"properties": {"a": {"$ref": "#"}}, "required": ["a"]}
    assert samples(schema)


SCHEMAS = st.recursive(
    st.one_of(
        st.builds(lambda n: {"type": "string", "minLength": n, "maxLength": n + 5}, st.integers(0, 12)),
        st.builds(lambda n: {"type": "integer", "minimum": n}, st.integers(-5, 50)),
        st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"enum": ["a", 2]}, {"const": 7}]),
    ),
    lambda inner: st.one_of(
        st.builds(lambda item, n: {"type": "array", "items": item, "minItems": n}, inner, st.integers(0, 3)),
        st.builds(
            lambda parts: {"type": "object", "properties": parts, "required": sorted(parts)[:1]},
            st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        ),
    ),
    max_leaves=6,
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from("xyz"), SCHEMAS, max_size=3), st.sets(st.sampled_from("xyz")))
def test_what_is_made_up_obeys_the_schema(properties: dict[str, object], required: set[str]) -> None:
    schema = {"type": "object", "properties": properties, "required": sorted(required & set(properties))}
    validator = jsonschema_rs.validator_for(schema)
    assert all(validator.is_valid(sample) for sample in samples(schema))
