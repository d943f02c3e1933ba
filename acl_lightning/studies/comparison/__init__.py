"""Several runs' quality-speed curves side by side: `python -m acl_lightning curves RUN [RUN ...] --out DIR`.

Unlike the rest of the studies this needs torch: `stored_curve` computes a run's curve again from its stored logits,
for any criterion; `contenders` makes one line of several seeds, a baseline of single-exit runs, and scores; `report`
draws and writes; `command` is the command.
"""
