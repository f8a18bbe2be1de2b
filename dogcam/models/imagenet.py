"""The 1,000 classes of ImageNet, and those that belong to each of the 20 VOC classes."""

from collections.abc import Sequence

Indices = tuple[int, ...]


N_CLASSES = 1000


def are_imagenets(classes: Sequence[str]) -> bool:
    """Check whether classes are those of ImageNet, in the order of the outputs."""
    return len(classes) == N_CLASSES and tuple(classes) == imagenet_categories()


def imagenet_categories() -> tuple[str, ...]:
    """Return the names of ImageNet's 1,000 classes in the order of the outputs, as torchvision lists them."""
    # Imported late: it takes as long as torch, and a run with another library's network does without.
    import torchvision

    return tuple(torchvision.models.ResNet50_Weights.DEFAULT.meta["categories"])


VOC_POOLS: dict[str, Indices] = {
    "aeroplane": (404, 895),
    "bicycle": (444, 671),
    "bird": (*range(7, 25), *range(80, 101), *range(127, 147)),
    "boat": (403, 472, 484, 510, 554, 576, 625, 628, 724, 780, 814, 833, 871, 913, 914),
    "bottle": (440, 720, 737, 898, 899, 901, 907),
    "bus": (654, 779, 874),
    "car": (407, 436, 468, 511, 609, 627, 656, 661, 751, 817),
    "cat": (281, 282, 283, 284, 285),
    "chair": (423, 559, 765, 857),
    "cow": (345,),
    "diningtable": (532,),
    "dog": tuple(range(151, 269)),
    "horse": (339,),
    "motorbike": (665, 670),
    "person": (981, 982, 983),
    "sheep": (348, 349),
    "sofa": (831,),
    "train": (466, 547, 565, 705, 820),
    "tvmonitor": (664, 782, 851),
}
"""The ImageNet classes that are kinds of each VOC class; `pottedplant` has none.

ImageNet's classes are synsets of WordNet 3.0. A class belongs to a VOC class if one of these synsets is among
its hypernyms, or is the class itself:

    aeroplane n02691156 airplane, n04552348 warplane; bicycle n02834778; bird n01503061;
    boat n04530566 vessel, watercraft; bottle n02876657; bus n02924116; car n02958343 car, auto;
    cat n02121808 domestic cat; chair n03001627; cow n02402425 cattle; diningtable n03201208; dog n02084071;
    horse n02374451; motorbike n03790512 motorcycle, n03791053 motor scooter; person n00007846;
    sheep n02411705 sheep, n02414578 wild sheep; sofa n04256520;
    train n04468005 railroad train, n03684823 locomotive, n02959942 railway car;
    tvmonitor n03782006 monitor, n04152593 CRT screen, n04404412 television.

Some pools are narrow: `person` is a ballplayer, a bridegroom or a scuba diver, `cow` an ox, `horse` a sorrel.
WordNet has the nearest class to a potted plant, `pot, flowerpot` (738), as a container.
"""
