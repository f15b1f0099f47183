"""What has no JSON Schema is refused where it is described, and not described as something else."""

from dataclasses import dataclass

import pytest

from agent.model.schema import schema


@dataclass
class Strange:
    """A value that JSON has no form for."""

    bytes: bytes


def test_a_type_without_a_form_in_json_is_refused() -> None:
    with pytest.raises(TypeError, match="has no JSON Schema"):
        schema(Strange)
