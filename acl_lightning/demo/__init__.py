"""A local page on which one sentence is classified at every exit, and leaves where a slider says.

`load_served` reads a run or an export, `answer` is the page's content without the page, `build_page` puts Gradio (the
extra `demo`) around it. Nothing leaves the machine.
"""

from acl_lightning.demo.answer import Answer, ExitAnswer, answer, criteria_for
from acl_lightning.demo.page import build_page, open_page
from acl_lightning.demo.served import ServedModel, load_served

__all__ = ["Answer", "ExitAnswer", "ServedModel", "answer", "build_page", "criteria_for", "load_served", "open_page"]
