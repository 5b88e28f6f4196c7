"""What the panel knows without any framework: facts, readings, scores, reviews, verdicts, exams.

Standard library only; time and randomness are arguments.
"""
