"""Any model value as JSON or YAML: the same keys in both, in the order in which the model declares them."""

import json
from typing import Any

from agent.model.codec import to_plain


def as_json(value: Any) -> str:
    """Indented JSON with a final newline.

    ASCII alone: control characters, bidirectional overrides and undecodable bytes of strangers arrive as escapes, harmless for
    a terminal and equal after parsing.
    """
    return json.dumps(to_plain(value), indent=2, ensure_ascii=True) + "\n"


def as_yaml(value: Any) -> str:
    """YAML in block style, ASCII for the same reason."""
    import yaml  # noqa: PLC0415  half a megabyte that the service, which speaks JSON, need not keep

    return yaml.dump(to_plain(value), Dumper=yaml.SafeDumper, sort_keys=False, allow_unicode=False, width=120)
