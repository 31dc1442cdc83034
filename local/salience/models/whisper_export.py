"""openai-whisper models as Hugging Face directories."""

from pathlib import Path

import whisper
from transformers import (
    GenerationConfig,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperForConditionalGeneration,
    WhisperProcessor,
    WhisperTokenizer,
)
from transformers.convert_slow_tokenizer import TikTokenConverter
from whisper.decoding import DecodingOptions, DecodingTask
from whisper.model import Whisper

from salience.errors import InputError
from salience.models.whisper import alignment_heads, tokenizer_of
from salience.models.whisper_formats import huggingface_name


def export_huggingface(model: Whisper, folder: Path, language: str, context_seconds: int = 30) -> None:
    """Write a directory that `WhisperForConditionalGeneration.from_pretrained` loads, tokenizer included.

    transformers pads every utterance to a fixed context.  A model that was
    fine-tuned on shorter ones can be exported with a context of fewer than
    Whisper's 30 seconds; its first positions are kept.
    """
    dims = model.dims
    positions = context_seconds * 50
    if not 0 < positions <= dims.n_audio_ctx:
        raise InputError(
            f"--context-seconds {context_seconds} is not between 1 and the model's {dims.n_audio_ctx // 50}"
        )
    tokenizer = tokenizer_of(model, language)
    config = WhisperConfig(
        vocab_size=dims.n_vocab,
        num_mel_bins=dims.n_mels,
        d_model=dims.n_audio_state,
        encoder_layers=dims.n_audio_layer,
        encoder_attention_heads=dims.n_audio_head,
        encoder_ffn_dim=4 * dims.n_audio_state,
        decoder_layers=dims.n_text_layer,
        decoder_attention_heads=dims.n_text_head,
        decoder_ffn_dim=4 * dims.n_text_state,
        max_source_positions=positions,
        max_target_positions=dims.n_text_ctx,
        decoder_start_token_id=tokenizer.sot,
        bos_token_id=tokenizer.eot,
        eos_token_id=tokenizer.eot,
        pad_token_id=tokenizer.eot,
        # transformers keeps what it does not know, and load_model finds it again.
        short_context=getattr(model, "short_context", False) or context_seconds < 30,
    )
    exported = WhisperForConditionalGeneration(config)
    weights = {huggingface_name(name): tensor.cpu() for name, tensor in model.state_dict().items()}
    weights["model.encoder.embed_positions.weight"] = weights["model.encoder.embed_positions.weight"][:positions]
    missing, unexpected = exported.load_state_dict(weights, strict=False)
    # The output projection is the token embedding itself.
    if set(missing) - {"proj_out.weight"} or unexpected:
        raise InputError(f"this Whisper model has weights that transformers does not know: {unexpected or missing}")
    exported.tie_weights()
    # What openai-whisper's decoder never lets through.
    task = DecodingTask(model, DecodingOptions(language=language, without_timestamps=True))
    exported.generation_config = GenerationConfig(
        decoder_start_token_id=tokenizer.sot,
        bos_token_id=tokenizer.eot,
        eos_token_id=tokenizer.eot,
        pad_token_id=tokenizer.eot,
        suppress_tokens=list(task._get_suppress_tokens()),
        begin_suppress_tokens=[*tokenizer.encode(" "), tokenizer.eot],
        no_timestamps_token_id=tokenizer.no_timestamps,
        is_multilingual=model.is_multilingual,
        lang_to_id={
            f"<|{code}|>": token
            for code, token in zip(tokenizer.all_language_codes, tokenizer.all_language_tokens, strict=True)
        },
        task_to_id={"transcribe": tokenizer.transcribe, "translate": tokenizer.translate},
        language=language,
        task="transcribe",
        max_length=dims.n_text_ctx,
        return_timestamps=False,
        alignment_heads=alignment_heads(model),
    )
    exported.save_pretrained(folder)
    asset = "multilingual" if model.is_multilingual else "gpt2"
    ranks = Path(whisper.__file__).parent / "assets" / f"{asset}.tiktoken"
    vocabulary, merges = TikTokenConverter().extract_vocab_merges_from_model(str(ranks))
    vocabulary |= tokenizer.special_tokens
    words = WhisperTokenizer(vocab=vocabulary, merges=merges, language=language, task="transcribe")
    special = sorted(tokenizer.special_tokens, key=tokenizer.special_tokens.__getitem__)
    words.add_special_tokens({"additional_special_tokens": special})
    extractor = WhisperFeatureExtractor(feature_size=dims.n_mels, chunk_length=context_seconds)
    WhisperProcessor(extractor, words).save_pretrained(folder)
