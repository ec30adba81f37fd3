"""The fields of the filter language are those of the wire contract."""

from __future__ import annotations

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from amiguard.v1 import finding_pb2
from amiguard_service.filters import FINDING_FIELDS, Kind


@pytest.mark.parametrize("name", ["state", "disposition", "likelihood"])
def test_enum_values_are_those_of_the_contract(name: str) -> None:
    """A filter knows each value that a finding can have, and no other."""
    field = FINDING_FIELDS[name]
    enum = finding_pb2.Finding.DESCRIPTOR.fields_by_name[name].enum_type
    assert enum is not None
    sent = [value.name for value in enum.values if value.number or name == "disposition"]

    assert [field.prefix + value for value in field.values] == sent


def test_fields_are_those_of_the_contract() -> None:
    """Every field is one of a finding, or of its search, and has the type it has there."""
    finding, search = finding_pb2.Finding.DESCRIPTOR, finding_pb2.ImageSearch.DESCRIPTOR
    declared = {**search.fields_by_name, **finding.fields_by_name}

    kinds = {name: kind_of(declared[name]) for name in FINDING_FIELDS}

    assert kinds == {name: field.kind for name, field in FINDING_FIELDS.items()}
    assert all(name == field.name for name, field in FINDING_FIELDS.items())


def kind_of(field: FieldDescriptor) -> Kind | None:
    """The kind of a field of the contract."""
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return Kind.STRING_MAP
    if field.message_type is not None:
        name = field.message_type.full_name
        return Kind.TIME if name == "google.protobuf.Timestamp" else None
    if is_repeated(field):
        return Kind.STRING_LIST if field.type == FieldDescriptor.TYPE_STRING else None
    return {
        FieldDescriptor.TYPE_STRING: Kind.STRING,
        FieldDescriptor.TYPE_ENUM: Kind.ENUM,
        FieldDescriptor.TYPE_INT32: Kind.INTEGER,
        FieldDescriptor.TYPE_INT64: Kind.INTEGER,
    }.get(field.type)


def is_repeated(field: FieldDescriptor) -> bool:
    """Whether a field is a list, by every release of protobuf: older descriptors do not say so."""
    message = DescriptorProto()
    assert field.containing_type is not None
    field.containing_type.CopyToProto(message)
    (label,) = (one.label for one in message.field if one.name == field.name)
    return label == FieldDescriptorProto.LABEL_REPEATED
