"""How a value that the planner refuses is told to who typed it: the option's name, what is wrong, what is allowed."""

from services.create.domain.errors import RefusedInputError
from stack.errors import StackError

OPTIONS = {"presetKey": "--preset", "emotionState": "--emotion", "sudsStart": "--suds"}


def told(error: RefusedInputError) -> StackError:
    """The error to raise; the refused value is not repeated."""
    allowed = next((names for name, names in error.members.items() if name.startswith("allowed")), None)
    more = f"; allowed are {', '.join(map(str, allowed))}" if isinstance(allowed, (list, tuple)) else ""
    return StackError(f"{OPTIONS.get(error.field, f'--{error.field}')}: {error.detail}{more}")
