"""The menagerie: photographs-of-a-kind drawn by the program itself, so that the whole house runs without a download.

Twenty-four classes (animals with faces, vehicles, buildings, plants, household things) stand in for ILSVRC (or the
first of them), fourteen others for Caltech-101, scenes of both for PASCAL VOC; the files lie in those sets' own layouts
and the ordinary loaders read them. Every picture is a function of (seed, set, class, number): any number of processes
draws the same files.

Colour, pattern, pose, light and background vary far more within a class than between classes, several classes differ
only in proportions (cat, fox, dog; car, van, bus), and a third of the pictures is partly covered: a linear classifier
on pixels does badly, a convnet does well and not perfectly.

    surface   colours and textures            scenery   backgrounds and things in front
    outlines  shapes                          picture   composes one picture; boxes, parts, camera
    pen       draws shapes, lit               casting   what a picture of each set shows
    faces, animals, vehicles, places, curios  the objects; catalogue lists them
    layouts   writes the folders
"""

from menagerie.catalogue import CALTECH_CLASSES, CLASSES, VOC_CLASSES
from menagerie.layouts import MenagerieError, draw_menagerie

__all__ = ["CALTECH_CLASSES", "CLASSES", "VOC_CLASSES", "MenagerieError", "draw_menagerie"]
