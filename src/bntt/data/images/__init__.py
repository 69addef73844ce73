"""Sets of images, and their file formats; each dataset registers itself."""

from bntt.data.images import cifar as cifar
from bntt.data.images import image_folder as image_folder
from bntt.data.images import mnist as mnist
from bntt.data.images import synthetic as synthetic
from bntt.data.images import tiny_imagenet as tiny_imagenet
