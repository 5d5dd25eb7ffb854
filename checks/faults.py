"""What a check of the site found."""

from typing import NamedTuple


class Fault(NamedTuple):
    """Something wrong on a page of the site."""

    page: str
    what: str
    where: str

    def __str__(self) -> str:
        return f"{self.page}: {self.what}: {self.where}"
