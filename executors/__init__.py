"""The executors: programs → verdicts and labels. The judge is trusted, what runs behind executors/zygote.py is not."""
