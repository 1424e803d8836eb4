"""One day's fine-tuning in several processes that torchrun started: towers in each, the table's rows and the users dealt out."""
