"""Why a model is not converted."""


class NotConvertible(Exception):
    """A sentence for the operator. `missing` names packages whose installation would change the answer."""

    def __init__(self, reason, missing=()):
        super().__init__(reason)
        self.missing = list(missing)


def need(module, package):
    """Imports a converter, or says what to install."""
    try:
        return __import__(module, fromlist=["_"])
    except ImportError as error:
        raise NotConvertible(f"{package} is neither in the model's environment nor among the converters: {error}", [package]) from None
