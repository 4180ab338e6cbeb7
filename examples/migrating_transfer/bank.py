"""A bank in memory, to which both versions of the transfer talk. What has a reference counts once."""


class UnknownAccountError(Exception):
    """There is no such account; trying again does not help."""


class Bank:
    """Two accounts, and the references that were booked."""

    def __init__(self) -> None:
        self._balances = {"alice": 1000, "bob": 1000}
        self._booked: set[str] = set()

    def book(self, account: str, amount: int, reference: str) -> dict[str, int]:
        """Add an amount, which may be negative, and return the balance; a known reference changes nothing.

        Raises:
            UnknownAccountError: There is no such account.
        """
        if account not in self._balances:
            raise UnknownAccountError(f"there is no account {account}")
        if reference not in self._booked:
            self._booked.add(reference)
            self._balances[account] += amount
        return {"balance": self._balances[account]}
