"""ESPnet's hybrid CTC/attention model as a recogniser: its own beam search, and a greedy one over CTC.

ESPnet takes two seconds to import, so everything here imports it at its first use.
"""

import logging
from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
import yaml
from more_itertools import chunked
from torch import Tensor, nn

from salience.data.normalisers import normaliser as normaliser_of
from salience.data.normalisers import squeeze
from salience.data.tokens import tokens_to_text
from salience.errors import InputError
from salience.features.archives import FeatureSet
from salience.features.fbank import BINS, fbank, num_frames
from salience.files import whole_file
from salience.models.espnet import new_hybrid, prepare_espnet, read_config
from salience.models.recognisers import RECOGNISERS, Example, FrozenRecogniser, Recogniser, RecogniserChoice
from salience.models.recurrent import padded_lstm

logger = logging.getLogger(__name__)

IGNORED = -1
"""The label of a position beyond a text's end, as ESPnet wants it."""


@dataclass(frozen=True)
class Search:
    """How hypotheses are searched for.

    Args:
        beam_size: Hypotheses kept; 0 takes the best path of CTC alone.
        ctc_weight: Share of CTC's score against the attention decoder's.
        lm_weight: Weight of the language model, where there is one.
        penalty: Added to the score for each token.
        maxlenratio: Most tokens a frame of the encoder, or below 0 of an utterance; 0 lets the search find the end.
        minlenratio: Fewest tokens a frame of the encoder.
    """

    beam_size: int = 20
    ctc_weight: float = 0.5
    lm_weight: float = 0.3
    penalty: float = 0.0
    maxlenratio: float = 0.0
    minlenratio: float = 0.0


@RECOGNISERS.register("espnet")
@dataclass
class EspnetRecogniser(Recogniser):
    """ESPnet's hybrid CTC/attention model, which train_espnet.py trains.

    finetune.py trains one further, or a new one: its model is then a YAML file
    of ESPnet's settings, with a `token_list`.

    Args:
        search: Settings of the beam search; best given by --config.
        lm: Folder of the language model that train_espnet.py --task lm wrote.
        normaliser: Normaliser of the texts that finetune.py trains on.
    """

    features: ClassVar = "fbank"
    saved: ClassVar = ("model.pth", "config.yaml")

    search: Search = field(default_factory=Search)
    lm: Path | None = None
    normaliser: str = "raw"

    def load(self, model: str, device: str = "cpu", seed: int = 1) -> None:
        for made in ("training", "network", "model", "encode"):  # of the model that was loaded before
            vars(self).pop(made, None)
        self.folder, self.device, self.seed = Path(model), device, seed
        self.new = self.folder.suffix == ".yaml"
        self.dimension = self.training[1].input_size if self.new else read_config(self.folder)["input_size"]

    @cached_property
    def training(self) -> tuple[nn.Module, Namespace]:
        """The model to be trained, and its configuration."""
        return new_hybrid(self.folder, self.seed) if self.new else load_hybrid(self.folder, self.device)

    @cached_property
    def network(self) -> "HybridForTraining":
        """What is trained."""
        return HybridForTraining(self.training[0])

    @cached_property
    def model(self) -> "BeamSearch":
        """What is decoded with."""
        return BeamSearch(self.folder, self.search, self.lm, self.device)

    def files(self, model: str) -> list[Path]:
        return [*super().files(model), *([self.lm / "model.pth"] if self.lm else [])]

    def settings(self) -> dict[str, Any]:
        return {"search": self.search} | ({} if self.normaliser == "raw" else {"normaliser": self.normaliser})

    def check(self, source: FeatureSet, training: bool = False) -> None:
        if source.columns not in (None, self.dimension):
            raise InputError(
                f"{source.path} has {source.columns} values a frame but {self.folder} reads {self.dimension};"
                " give the features that it is made for"
            )

    @cached_property
    def encode(self) -> Callable[[str], list[int]]:
        """From a text to its tokens' numbers."""
        return encoder_of(self.training[1])

    def target(self, text: str) -> list[int]:
        tokens = self.encode(normaliser_of(self.normaliser)[0](text))
        if not tokens:
            raise InputError(f"{text!r} has no words after the normaliser {self.normaliser}; leave it out")
        return tokens

    def collate(self, examples: Sequence[Example]) -> dict[str, Tensor]:
        # ESPnet wants its batches longest first.
        examples = sorted(examples, key=lambda example: -len(example.features))
        features = [torch.from_numpy(np.array(example.features)) for example in examples]  # ESPnet may write into them
        text, text_lengths = padded_tokens([example.tokens for example in examples])
        return {
            "speech": nn.utils.rnn.pad_sequence(features, batch_first=True),
            "speech_lengths": torch.tensor([len(matrix) for matrix in features]),
            "text": text,
            "text_lengths": text_lengths,
        }

    def transcribe(
        self, source: Mapping[str, np.ndarray], batch_size: int, truncated: list[str]
    ) -> Iterator[tuple[str, str]]:
        """Search with a beam; without one, and while a model is trained, take the best path of CTC."""
        if "network" in vars(self) or not self.search.beam_size:
            return self._best_paths(source, batch_size)
        return self._searched(source)

    def _searched(self, source: Mapping[str, np.ndarray]) -> Iterator[tuple[str, str]]:
        for utterance, matrix in source.items():
            text = self.model(matrix)
            if not text:
                logger.warning("%s: nothing was recognised in the %d frames of %s", self.folder, len(matrix), utterance)
            yield utterance, text

    def _best_paths(self, source: FeatureSet, batch_size: int) -> Iterator[tuple[str, str]]:
        model = self.training[0]
        device = next(model.parameters()).device
        for batch in chunked(sorted(source.frames, key=source.frames.__getitem__), batch_size):
            features = [torch.from_numpy(np.array(source[utterance])) for utterance in batch]
            padded = nn.utils.rnn.pad_sequence(features, batch_first=True).to(device)
            with padded_lstm():
                found = ctc_greedy(model, padded, [len(matrix) for matrix in features])
            yield from zip(batch, map(tokens_to_text, found), strict=True)

    def save(self, folder: Path) -> None:
        model, arguments = self.training
        with whole_file(folder / "model.pth", "wb") as handle:
            torch.save(model.state_dict(), handle)
        with whole_file(folder / "config.yaml") as handle:
            yaml.safe_dump(vars(arguments), handle, sort_keys=False)

    @classmethod
    def frozen(cls, choice: RecogniserChoice, device: str) -> "FrozenHybrid":
        return FrozenHybrid(Path(choice.model), device)


class FrozenHybrid(FrozenRecogniser):
    """ESPnet's hybrid CTC/attention recogniser on our differentiable fbank."""

    def __init__(self, model: Path, device: str) -> None:
        self.model, self.arguments = load_hybrid(model, device)
        if self.arguments.input_size != BINS:
            raise InputError(
                f"{model} reads features of {self.arguments.input_size} dimensions, and fbank has {BINS}; train"
                " it on fbank"
            )
        # It would count errors in evaluation mode, which is where the model stays.
        self.model.error_calculator = None
        self._recurrent = [module for module in self.model.modules() if isinstance(module, nn.RNNBase)]
        for module in self.model.modules():
            # ESPnet's projected recurrent layers drop units in evaluation mode too.
            if isinstance(getattr(module, "dropout", None), float):
                module.dropout = 0.0
        self._encode = encoder_of(self.arguments)

    def _features(self, signals: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
        lengths = torch.tensor([num_frames(n) for n in samples.tolist()], device=signals.device)
        return fbank(signals)[:, : int(lengths.max())], lengths

    def _sorted(self, signals: Tensor, samples: Tensor, texts: Sequence[str]) -> tuple[list[int], dict[str, Tensor]]:
        """Make ESPnet's batch, longest first, and the order of its rows."""
        order = samples.argsort(descending=True).tolist()
        padded, lengths = (
            part.to(signals.device) for part in padded_tokens([self._encode(texts[row]) for row in order])
        )
        features, frames = self._features(signals[order], samples[order])
        return order, {"speech": features, "speech_lengths": frames, "text": padded, "text_lengths": lengths}

    def losses(self, signals: Tensor, samples: Tensor, texts: Sequence[str]) -> Tensor:
        """ESPnet's own, but for each text: CTC and attention, weighted as the model was trained; no smoothed labels."""
        from espnet.nets.pytorch_backend.transformer.add_sos_eos import add_sos_eos

        order, batch = self._sorted(signals, samples, texts)
        # cuDNN differentiates recurrent layers in training mode only, which changes nothing without dropout.
        for layer in self._recurrent:
            layer.train()
        model, weight, text, lengths = self.model, self.model.ctc_weight, batch["text"], batch["text_lengths"]
        with padded_lstm():
            states, frames = _encoded(model, batch["speech"], batch["speech_lengths"])
        found = torch.zeros(len(order), dtype=states.dtype, device=signals.device)
        if weight:
            paths = model.ctc.log_softmax(states).transpose(0, 1)
            # A text that is too long for its frames counts nothing, as with ESPnet.
            ctc = nn.CTCLoss(model.blank_id, reduction="none", zero_infinity=True)
            found = found + weight * ctc(paths, text.clamp(min=0), frames, lengths)
        if weight < 1:
            given, wanted = add_sos_eos(text, model.sos, model.eos, IGNORED)
            logits = model.decoder(states, frames, given, lengths + 1)[0].transpose(1, 2)
            each = nn.functional.cross_entropy(logits, wanted, ignore_index=IGNORED, reduction="none")
            found = found + (1 - weight) * each.sum(1)
        return found[torch.tensor(order, device=found.device).argsort()]

    @torch.no_grad()
    def transcribe(self, signals: Tensor, samples: Tensor) -> list[str]:
        """The best path of the CTC branch."""
        return [tokens_to_text(tokens) for tokens in ctc_greedy(self.model, *self._features(signals, samples))]


class HybridForTraining(nn.Module):
    """ESPnet's model as the trainer wants it: a batch in, the loss out."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **batch: Tensor) -> dict[str, Tensor]:
        """CTC and attention, weighted as the settings say; a mean over utterances."""
        with padded_lstm():
            return {"loss": self.model(**batch)[0].squeeze()}


def encoder_of(arguments: Namespace) -> Callable[[str], list[int]]:
    """From a text to the numbers of its tokens, as a model's configuration has them."""
    from espnet2.text.build_tokenizer import build_tokenizer
    from espnet2.text.token_id_converter import TokenIDConverter

    tokenizer = build_tokenizer(arguments.token_type, bpemodel=arguments.bpemodel)
    converter = TokenIDConverter(arguments.token_list)
    return lambda text: converter.tokens2ids(tokenizer.text2tokens(squeeze(text)))


def padded_tokens(tokens: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Targets as ESPnet wants them: (batch, longest), and their lengths (batch,)."""
    each = [torch.tensor(numbers) for numbers in tokens]
    return nn.utils.rnn.pad_sequence(each, batch_first=True, padding_value=IGNORED), torch.tensor(list(map(len, each)))


def load_hybrid(folder: Path, device: str = "cpu") -> tuple[torch.nn.Module, Namespace]:
    """ESPnet's model of an experiment folder, in evaluation mode, and its configuration."""
    read_config(folder)
    from espnet2.tasks.asr import ASRTask

    prepare_espnet()
    model, arguments = ASRTask.build_model_from_file(folder / "config.yaml", folder / "model.pth", device)
    return model.eval(), arguments


class BeamSearch:
    """ESPnet's Speech2Text for one experiment folder, one utterance at a time."""

    def __init__(self, folder: Path, search: Search, lm: Path | None = None, device: str = "cpu") -> None:
        for trained in (folder, lm) if lm else (folder,):
            read_config(trained)
        from espnet2.bin.asr_inference import Speech2Text

        prepare_espnet()
        # Its account of every utterance, and its words on the decoder's speed, which `score_together` mends.
        logging.getLogger("espnet").setLevel(logging.WARNING)
        logging.getLogger("espnet2").setLevel(logging.ERROR)
        self._speech2text = Speech2Text(
            asr_train_config=folder / "config.yaml",
            asr_model_file=folder / "model.pth",
            lm_train_config=lm and lm / "config.yaml",
            lm_file=lm and lm / "model.pth",
            device=device,
            beam_size=search.beam_size,
            ctc_weight=search.ctc_weight,
            lm_weight=search.lm_weight,
            penalty=search.penalty,
            maxlenratio=search.maxlenratio,
            minlenratio=search.minlenratio,
        )
        score_together(self._speech2text.beam_search)
        search_within_frames(self._speech2text.beam_search)

    def __call__(self, features: np.ndarray) -> str:
        """The words heard in features (frames, dimension); none where there are too few frames to hear any."""
        from espnet.nets.pytorch_backend.transformer.subsampling import TooShortUttError

        try:
            results = self._speech2text(np.array(features, dtype=np.float32)) if len(features) else []
        except TooShortUttError:
            results = []
        return tokens_to_text(results[0][1]) if results else ""


def search_within_frames(search: Any) -> None:
    """Let no hypothesis of ESPnet's beam search have more tokens than frames, where its CTC ends with an error."""
    forward = search.forward

    def limited(x: torch.Tensor, maxlenratio: float = 0.0, *others: Any, **options: Any) -> Any:
        return forward(x, max(maxlenratio, -len(x)) if maxlenratio < 0 else min(maxlenratio, 1.0), *others, **options)

    search.forward = limited


def score_together(search: Any) -> None:
    """Let ESPnet's beam search score all hypotheses of an utterance with one call of the recurrent decoder.

    ESPnet scores them one after another, because its recurrent decoder has no
    batched scoring; the scores are the same.  A search that is batched already,
    or whose attention keeps more than one tensor, is left as it is.
    """
    from espnet.nets.batch_beam_search import BatchBeamSearch
    from espnet.nets.pytorch_backend.rnn.attentions import AttAdd, AttDot, AttLoc
    from espnet.nets.scorer_interface import BatchScorerInterface
    from espnet2.asr.decoder.rnn_decoder import RNNDecoder

    class BatchedRNNDecoder(RNNDecoder, BatchScorerInterface):
        """A recurrent decoder that scores the next token of many hypotheses of one utterance."""

        def batch_score(
            self, ys: torch.Tensor, states: list[dict[str, Any]], xs: torch.Tensor
        ) -> tuple[torch.Tensor, list[dict[str, Any]]]:
            """Log probabilities (hypotheses, tokens) after ys (hypotheses, tokens); xs: (hypotheses, frames, size)."""
            layers = range(self.dlayers)
            hidden = [torch.cat([state["z_prev"][layer] for state in states]) for layer in layers]
            cells = [torch.cat([state["c_prev"][layer] for state in states]) for layer in layers]
            previous = None if states[0]["a_prev"] is None else torch.cat([state["a_prev"] for state in states])
            context, weights = self.att_list[0](xs, [xs.size(1)] * len(xs), hidden[0], previous)
            words = torch.cat([self.embed(ys[:, -1]), context], dim=1)
            new_hidden, new_cells = self.rnn_forward(words, list(hidden), list(cells), hidden, cells)
            last = torch.cat([new_hidden[-1], context], dim=-1) if self.context_residual else new_hidden[-1]
            scores = torch.log_softmax(self.output(last), dim=1)
            rows = range(len(states))
            return scores, [
                {
                    "z_prev": [z[row : row + 1] for z in new_hidden],
                    "c_prev": [c[row : row + 1] for c in new_cells],
                    "a_prev": weights[row : row + 1],
                    "workspace": None,
                }
                for row in rows
            ]

    decoder = search.full_scorers.get("decoder")
    others = [scorer for name, scorer in search.full_scorers.items() if name != "decoder"]
    if (
        type(decoder) is not RNNDecoder
        or decoder.num_encs != 1
        or not all(isinstance(s, BatchScorerInterface) for s in others)
    ):
        return
    if not isinstance(decoder.att_list[0], (AttLoc, AttDot, AttAdd)):
        return
    # In the manner of ESPnet, which turns its beam search into a batched one like this.
    decoder.__class__ = BatchedRNNDecoder
    search.__class__ = BatchBeamSearch


@torch.no_grad()
def ctc_greedy(
    model: torch.nn.Module, features: torch.Tensor, lengths: torch.Tensor | Sequence[int]
) -> list[list[str]]:
    """The best path of the CTC branch for a batch, collapsed: the tokens of each utterance.

    model: ESPnet's recogniser; features: (batch, frames, dimension), padded;
    lengths: their own numbers of frames.  An utterance without frames yields no
    tokens.  The batch may be in any order, and is not changed.
    """
    lengths = torch.as_tensor(lengths).cpu()
    order = [i for i in torch.argsort(lengths, descending=True, stable=True).tolist() if lengths[i] > 0]
    hypotheses: list[list[str]] = [[] for _ in lengths]
    if not order:
        return hypotheses
    training = model.training
    model.eval()
    longest = int(lengths[order[0]])
    # Indexing copies: ESPnet's normalisation works in place.  Its recurrent layers want falling lengths.
    states, frames = _encoded(model, features[order, :longest], lengths[order].to(features.device))
    best = model.ctc.argmax(states).cpu()
    model.train(training)
    silent = {model.blank_id, model.sos, model.eos}
    for row, (index, count) in enumerate(zip(order, frames, strict=True)):
        path = torch.unique_consecutive(best[row, : int(count)]).tolist()
        hypotheses[index] = [model.token_list[token] for token in path if token not in silent]
    return hypotheses


def _encoded(model: torch.nn.Module, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
    """ESPnet's encoder states and their numbers, without those of intermediate layers."""
    states, frames = model.encode(features, lengths)
    return states[0] if isinstance(states, tuple) else states, frames
