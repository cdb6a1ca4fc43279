"""The one error that is the user's to mend: printed as one line, exit code 2, no traceback."""


class UserError(Exception):
    """Bad input. The message names the key, file or class and says what to do."""
