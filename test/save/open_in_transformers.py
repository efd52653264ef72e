"""Opens model folders in transformers and prints the logits of some prompts as JSON.

usage: open_in_transformers.py FOLDER...  (stdin: a JSON list of lists of token ids)
"""

import json
import sys

import torch
from transformers import AutoModelForCausalLM


def logits_of(folder: str, prompts: list[list[int]]) -> list:
    model, info = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    model.eval()
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if info.get(kind):
            sys.exit(f"{folder}: {kind}: {info[kind]}")
    with torch.no_grad():
        return [model(torch.tensor([ids])).logits[0].tolist() for ids in prompts]


if __name__ == "__main__":
    prompts = json.load(sys.stdin)
    json.dump([logits_of(folder, prompts) for folder in sys.argv[1:]], sys.stdout)
