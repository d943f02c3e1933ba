"""Parser of the Trainer's commands: values, items of lists, configuration files and error messages."""
