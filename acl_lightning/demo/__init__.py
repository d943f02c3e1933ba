"""Local web page that classifies a text at every exit and shows at which exit it leaves.

`load_served` reads a run or an export, `answer` computes the content of the page, and `build_page` builds it with
Gradio (the extra `demo`). The page is served to this machine only.
"""

from acl_lightning.demo.answer import Answer, ExitAnswer, answer, criteria_for
from acl_lightning.demo.page import build_page, open_page
from acl_lightning.demo.served import ServedModel, load_served

__all__ = ["Answer", "ExitAnswer", "ServedModel", "answer", "build_page", "criteria_for", "load_served", "open_page"]
