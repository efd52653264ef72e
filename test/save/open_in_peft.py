"""Puts PEFT adapters on their base models and prints the logits of some prompts as JSON.

usage: open_in_peft.py BASE ADAPTER [BASE ADAPTER ...]  (stdin: a JSON list of lists of token ids)
"""

import json
import sys
import warnings

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

warnings.filterwarnings("error", message=".*missing.*")


def logits_of(base: str, adapter: str, prompts: list[list[int]]) -> list:
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    model = PeftModel.from_pretrained(model, adapter).eval()
    with torch.no_grad():
        return [model(torch.tensor([ids])).logits[0].tolist() for ids in prompts]


if __name__ == "__main__":
    prompts = json.load(sys.stdin)
    pairs = zip(sys.argv[1::2], sys.argv[2::2])
    json.dump([logits_of(base, adapter, prompts) for base, adapter in pairs], sys.stdout)
