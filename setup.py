"""Computes the package list over the four top-level folders; all other metadata is in setup.cfg."""

from setuptools import find_packages, setup

FOLDERS = {
    "bioattack": "bioattack",
    "bioattack.models": "models",
    "bioattack.evaluation": "evaluation",
    "bioattack.tfrecords_builder": "tfrecords_builder",
}

packages = [
    package
    for name, folder in FOLDERS.items()
    for package in [name, *(f"{name}.{child}" for child in find_packages(folder))]
]

setup(packages=packages)
