"""Renders the cases of chat-templates.json as transformers does, and writes the texts into it.

Needs transformers 5 and jinja2; run it from this folder after adding a template or a case.
"""

import json
from pathlib import Path

from transformers.utils.chat_template_utils import render_jinja_template

path = Path(__file__).with_name("chat-templates.json")
golden = json.loads(path.read_text(encoding="utf8"))
for case in golden["cases"]:
    template = golden["templates"][case["template"]]
    case.pop("text", None)
    case.pop("refuses", None)
    try:
        (case["text"],), _ = render_jinja_template(
            [case["messages"]],
            chat_template=template["source"],
            tools=case.get("tools"),
            add_generation_prompt=case.get("addGenerationPrompt", False),
            **template["tokens"],
            **case.get("variables", {}),
        )
    except Exception as error:
        case["refuses"] = str(error)
path.write_text(json.dumps(golden, indent=1, ensure_ascii=False) + "\n", encoding="utf8")
