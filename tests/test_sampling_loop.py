"""Our decoding loop beside transformers' own: same logits, same greedy text, same distribution, whatever the batch."""

import os

import pytest
import torch
from tiny_models import FAMILIES, save
from transformers import AutoModelForCausalLM

from rrtf.profiles import Prompt
from rrtf.sampling.generate import Generate
from rrtf.sampling.generator import Request
from rrtf.sampling.huggingface import HuggingFaceGenerator
from rrtf.sampling.loop import Loop
from rrtf.sampling.settings import Decoding, HuggingFace, Precision
from rrtf.sampling.stops import Stops, cut

# what a chat's prompts begin with, one of them with nothing behind it
SYSTEM = "You write Python.\n"
PROMPTS = ["def add(a, b):\n", "import", "class Point:\n    def move(self, x, y):\n        return", "print"]


def generator(folder, *, rows=64, precision=Precision.float32, **decoding):
    source = HuggingFace(checkpoint=str(folder), rows=rows, precision=precision, device="cpu")
    return HuggingFaceGenerator(source, Decoding(**({"max_new_tokens": 24} | decoding)), path=folder)


def requests(prompts, *, n=1, temperature=0.0, stop=(), first_seed=0):
    pairs = [(text, number) for text in prompts for number in range(n)]
    return [
        Request(f"{text}|{number}", Prompt(text, (), ""), text, temperature, first_seed + 1000 * len(text) + number, stop)
        for text, number in pairs
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_text_is_transformers_own(tmp_path, family):
    engine = generator(save(tmp_path, family))
    found = {response.key: response for response in engine.generate(requests(PROMPTS))}
    expected_decoder = Generate if family == "gemma2" else Loop
    assert isinstance(engine.decoder, expected_decoder)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    for text in PROMPTS:
        ids = torch.tensor([engine.writer.ids(text)])
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=24, do_sample=False, pad_token_id=1)[0]
        written = out[ids.shape[1] :].tolist()
        written = written[: written.index(1)] if 1 in written else written
        assert found[f"{text}|0"].text == engine.writer.tokenizer.decode(written, skip_special_tokens=True)
        assert found[f"{text}|0"].tokens == len(written)


@pytest.mark.parametrize("system", ["", SYSTEM])
@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "gemma2"])
def test_logits_are_those_of_a_plain_forward_pass(tmp_path, family, system, monkeypatch):
    """Every row of every step, with rows of unequal length side by side, some leaving early and others coming in."""
    engine = generator(save(tmp_path, family), rows=5)
    seen = []
    draw = Loop._draw

    def spy(self, logits, rows):
        seen.extend((row.request.text, list(row.tokens), logits[place].clone()) for place, row in enumerate(rows))
        return draw(self, logits, rows)

    monkeypatch.setattr(Loop, "_draw", spy)
    prompts = [system + text for text in PROMPTS] + [system] * bool(system)
    list(engine.generate(requests(prompts, n=3, temperature=1.0)))
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert len(seen) > 100
    with torch.inference_mode():
        for text, tokens, logits in seen[:: max(1, len(seen) // 60)]:
            whole = model(torch.tensor([engine.writer.ids(text) + tokens])).logits[0, -1]
            torch.testing.assert_close(logits, whole, atol=2e-4, rtol=1e-4)


def test_what_all_prompts_begin_with_is_computed_once(tmp_path):
    engine = generator(save(tmp_path), max_new_tokens=1)
    computed = []
    forward = engine.model.forward

    def spy(*args, **options):
        computed.append(options["input_ids"].numel())
        return forward(*args, **options)

    engine.model.forward = spy
    texts = [SYSTEM + letter for letter in "abcdef"]  # of one length: no padding
    list(engine.generate(requests(texts)))
    lengths = [len(engine.writer.ids(text)) for text in texts]
    same = len(os.path.commonprefix([engine.writer.ids(text) for text in texts]))
    assert same > 10 and sum(computed) == same + sum(length - same for length in lengths)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_neither_batch_size_nor_other_prompts_change_an_answer(tmp_path, family):
    folder = save(tmp_path, family)
    asked = requests(PROMPTS, n=4, temperature=0.9)
    answers = [{response.key: response for response in generator(folder, rows=rows).generate(asked)} for rows in (1, 3, 64)]
    assert answers[0] == answers[1] == answers[2]
    alone = requests(PROMPTS[2:3], n=4, temperature=0.9)
    for response in generator(folder).generate(alone):
        assert response == answers[0][response.key]


def test_other_seeds_give_other_answers_and_equal_seeds_equal_ones(tmp_path):
    folder = save(tmp_path)
    texts = [
        [response.text for response in generator(folder).generate(requests(PROMPTS[:1], n=6, temperature=1.0, first_seed=seed))]
        for seed in (0, 0, 50)
    ]
    assert sorted(texts[0]) == sorted(texts[1])
    assert sorted(texts[0]) != sorted(texts[2])
    assert len(set(texts[0])) > 1


def test_cache_memory_bounds_the_rows(tmp_path):
    folder = save(tmp_path)
    engine = generator(folder)
    engine.decoder.shape = engine.decoder.shape._replace(cache_bytes=1)
    found = {response.key: response for response in engine.generate(requests(PROMPTS, n=2, temperature=0.5))}
    assert engine.decoder.cache.most_rows == 1
    roomy = {response.key: response for response in generator(folder).generate(requests(PROMPTS, n=2, temperature=0.5))}
    assert found == roomy


@pytest.mark.parametrize("stop", [("e",), ("\nd", "re"), ("ret", "zz"), ("é",)])
def test_stop_texts_end_an_answer_where_a_search_of_the_whole_would(tmp_path, stop):
    folder = save(tmp_path)
    free = {r.key: r.text for r in generator(folder, max_new_tokens=40).generate(requests(PROMPTS, n=5, temperature=1.2))}
    for response in generator(folder, max_new_tokens=40).generate(requests(PROMPTS, n=5, temperature=1.2, stop=stop)):
        assert response.text == cut(free[response.key], stop)
        assert (response.finish == "stop") or not any(end in free[response.key] for end in stop)


def test_stop_texts_are_looked_for_only_after_tokens_that_can_end_them(tmp_path):
    engine = generator(save(tmp_path))
    stops = engine.decoder.stops
    assert isinstance(stops, Stops)
    assert 0 < int(stops.triggers(("```",)).sum()) < 10


def test_prompts_without_room_get_an_empty_answer_that_says_so(tmp_path):
    engine = generator(save(tmp_path), max_new_tokens=200)
    long, near = "a b " * 200, "a b " * 60
    asked = [Request(text[:1] + str(len(text)), Prompt(text, (), ""), text, 0.0, 0, ()) for text in (long, near, "")]
    found = {response.key: response for response in engine.generate(asked)}
    assert found["a800"] == ("a800", "", 0, "too_long")
    assert found["0"].finish == "too_long"
    assert found["a240"].tokens <= 256 - len(engine.writer.ids(near))


def test_an_endless_model_is_cut_at_the_limit(tmp_path):
    folder = save(tmp_path)
    engine = generator(folder)
    engine.decoder.limits = engine.decoder.limits._replace(ends=frozenset())
    assert all(r.finish == "length" and r.tokens == 24 for r in engine.generate(requests(PROMPTS, n=2, temperature=1.0)))


def test_beams_find_a_likelier_answer_than_greedy(tmp_path):
    folder = save(tmp_path, seed=3)
    model = AutoModelForCausalLM.from_pretrained(folder)

    def score(engine, text, answer):
        ids, whole = engine.writer.ids(text), engine.writer.ids(text + answer)
        with torch.no_grad():
            logits = model(torch.tensor([whole])).logits[0].log_softmax(-1)
        return sum(float(logits[place - 1, whole[place]]) for place in range(len(ids), len(whole)))

    beams = generator(folder, num_beams=4, n=1, temperatures=[0.0], max_new_tokens=6)
    greedy = generator(folder, max_new_tokens=6)
    asked = requests(PROMPTS[:2])
    found = {r.key: r.text for r in beams.generate(asked)}
    plain = {r.key: r.text for r in greedy.generate(asked)}
    better = [
        score(beams, request.text, found[request.key]) - score(greedy, request.text, plain[request.key]) for request in asked
    ]
    assert max(better) >= -1e-4


def test_packed_bfloat16_decodes_to_the_same_bits(tmp_path):
    from rrtf.sampling.huggingface import fast_bfloat16
    from rrtf.sampling.packed import PackedLinear, pack

    if not fast_bfloat16():
        pytest.skip("this CPU has no bfloat16 instructions, so nothing is packed")
    plain = AutoModelForCausalLM.from_pretrained(save(tmp_path), dtype=torch.bfloat16)
    ids = torch.randint(2, 300, (3, 7))
    with torch.inference_mode():
        before = plain(ids).logits
        pack(plain, rows=3)
        assert any(isinstance(layer, PackedLinear) for layer in plain.modules())
        assert torch.equal(plain(ids).logits, before)
