"""What people ask for, answered: the one place behind slash commands, thread mentions, buttons and the shell.

Every way in ends in the same functions, so there is one set of rules about who may do what. A reply says at once, in
one specific sentence, what happens; work that needs a foreign system follows as `later`.

`verbs/` holds one function per verb, found by name; `acting` asks for guarded actions, `clicks` answers buttons, `room`
is what all of them can see and how they find the incident that is meant.
"""

from bot.desk.core import Desk
from bot.desk.reply import Asker, Reply

__all__ = ["Asker", "Desk", "Reply"]
