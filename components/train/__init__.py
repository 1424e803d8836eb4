"""Fine-tuning: assembled samples and a parent checkpoint in, the challenger checkpoint out."""
