"""Why pixels cannot be shown: one exception with a code. [domain]"""


class PixelError(Exception):
    """``code`` is snake_case and goes to the screen's catalog; ``params`` fill its sentence."""

    def __init__(self, code: str, **params: object) -> None:
        super().__init__(code)
        self.code, self.params = code, params
