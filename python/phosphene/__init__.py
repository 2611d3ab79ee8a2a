"""phosphene: what input text does a unit of a language model respond to?

    import phosphene

    model = phosphene.Model("model.gguf")
    model.dream("block 8 [:, :, 2000]")                      # the texts it responds to
    model.scan("block 8 [:, :, 0-4]", top=20)                # the exact best single tokens
    model.score("block 8 [:, :, 2000]", "The sky is blue.")  # token by token
    model.activations("The sky is blue.", "block 8 mlp")     # a NumPy array (tokens, width)

Results show themselves in a notebook; to_dict() gives the line of the tool's --json, frame() a data
frame of pandas. What goes wrong is raised as phosphene.Error.
"""
from ._abi import VERSION as __version__
from ._options import RunOptions
from .errors import Error, Status
from .model import Model, ModelInfo
from .results import Attribution, Corpus, Dream, Effect, Recovery, Result, Results, Scan, Score
from .session import Session
from .tokenizer import Tokenizer

__all__ = ["Attribution", "Corpus", "Dream", "Effect", "Error", "Model", "ModelInfo", "Recovery", "Result", "Results",
           "RunOptions", "Scan", "Score", "Session", "Status", "Tokenizer", "__version__"]
