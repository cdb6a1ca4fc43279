"""Options of stage correspondence."""

from dataclasses import dataclass

from zfnet.core.options import number


@dataclass
class CorrespondenceOptions:
    """Stage correspondence: the positions of parts, and how many pictures, repeats and random places."""

    parts: str = ""  # CSV file,part,x,y,radius; empty: that of the data set, see conf/parts
    n_images: int = number(5, at_least=2)  # [ZF13] 4.3
    repeats: int = number(10, at_least=1)  # random choices of the images [our choice]
    n_random: int = number(10, at_least=1)  # random places an image [NS]
