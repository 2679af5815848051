"""What turns the book's sources, the executed notebooks and the records into what Jupyter Book
reads.
"""
