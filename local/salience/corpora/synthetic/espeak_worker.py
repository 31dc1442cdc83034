"""Speak lines of JSON with espeak-ng: a program that `espeak.speak` starts, not one for people.

The library's output depends on what it said before, so each utterance is
spoken by a forked child of a process that has never spoken.  This file needs
nothing but the standard library and espeakng-loader: forking it is cheap, and
no thread of the caller can be caught in the middle.

stdin: one `[text, voice, pitch, range, rate]` a line.  stdout, for each: rate
and number of bytes as two little-endian int32, then int16 samples; or rate -1
and a message in place of the samples.
"""

import ctypes
import json
import os
import struct
import sys

import espeakng_loader

RATE, PITCH, RANGE = 1, 3, 4
"""Parameter numbers of espeak_SetParameter."""

CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


class _CurrentVoice(ctypes.Structure):
    _fields_ = [("name", ctypes.c_char_p), ("languages", ctypes.c_char_p), ("identifier", ctypes.c_char_p)]


def _load() -> ctypes.CDLL:
    # The library keeps its data path in a short buffer; a relative path fits wherever the environment lies.
    os.chdir(os.path.dirname(espeakng_loader.get_data_path()))
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_GetCurrentVoice.restype = ctypes.POINTER(_CurrentVoice)
    library.espeak_ng_InitializePath(b".")
    synchronous = 1
    if library.espeak_ng_Initialize(None) or library.espeak_ng_InitializeOutput(synchronous, 0, None):
        raise SystemExit("espeak-ng does not start; reinstall espeakng-loader")
    return library


def _speak(library: ctypes.CDLL, text: str, voice: str, pitch: int, pitch_range: int, rate: int) -> bytes:
    failed = library.espeak_ng_SetVoiceByName(voice.encode())
    variant = voice.partition("+")[2]
    chosen = (library.espeak_GetCurrentVoice().contents.identifier or b"").decode()
    # The library speaks with another voice when it does not know the one asked for.
    if failed or (variant and not chosen.endswith(f"+{variant}")):
        raise ValueError(f"espeak-ng has no voice {voice}")
    for parameter, value in ((RATE, rate), (PITCH, pitch), (RANGE, pitch_range)):
        library.espeak_SetParameter(parameter, value, 0)
    library.espeak_ng_SetRandSeed(ctypes.c_long(1))
    pieces: list[bytes] = []

    def keep(samples, count, events):  # type: ignore[no-untyped-def]
        if samples and count > 0:
            pieces.append(ctypes.string_at(samples, 2 * count))
        return 0

    callback = CALLBACK(keep)
    library.espeak_SetSynthCallback(callback)
    encoded = text.encode()
    by_character, utf8 = 1, 1
    failed = library.espeak_Synth(encoded, len(encoded) + 1, 0, by_character, 0, utf8, None, None)
    if failed or library.espeak_ng_Synchronize() or not pieces:
        raise ValueError(f"espeak-ng says nothing for {text!r} with voice {voice}")
    return b"".join(pieces)


def _write(data: bytes) -> None:
    while data:
        data = data[os.write(1, data) :]


def main() -> None:
    """Answer the lines of stdin in their order."""
    library = _load()
    sample_rate = library.espeak_ng_GetSampleRate()
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = 0
            try:
                samples = _speak(library, *json.loads(line))
                _write(struct.pack("<ii", sample_rate, len(samples)) + samples)
            except ValueError as error:
                message = str(error).encode()
                _write(struct.pack("<ii", -1, len(message)) + message)
            except BrokenPipeError:
                status = 1  # nobody listens any more, for reasons of their own
            except BaseException as error:
                print(repr(error), file=sys.stderr)
                status = 1
            os._exit(status)
        if os.waitpid(child, 0)[1] != 0:
            raise SystemExit(f"espeak-ng died while saying {line.strip()}")


if __name__ == "__main__":
    main()
