"""Checkpoints made small: CTranslate2 and GPTQ, measured against the original."""
