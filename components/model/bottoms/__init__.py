"""What the towers share, one file each; chosen by `model.bottom`."""

from collections.abc import Mapping

from components.model.bottoms.bottom import Bottom
from components.model.bottoms.dbmtl import Dbmtl
from components.model.bottoms.dupn import Dupn
from components.model.bottoms.mmoe import Mmoe
from components.model.bottoms.nfwfm import Nfwfm
from components.model.bottoms.ple import Ple
from components.model.bottoms.separate_embedding import SeparateEmbedding
from components.model.bottoms.shared_bottom import SharedBottom
from components.model.bottoms.shared_embedding import SharedEmbedding

BOTTOMS: Mapping[str, type[Bottom]] = {
    "shared_embedding": SharedEmbedding,
    "separate_embedding": SeparateEmbedding,
    "shared_bottom": SharedBottom,
    "mmoe": Mmoe,
    "ple": Ple,
    "dbmtl": Dbmtl,
    "nfwfm": Nfwfm,
    "dupn": Dupn,
}
