"""One run: a front-end and a classifier, trained together and tested, on Lightning."""
