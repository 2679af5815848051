"""The book: from sources, executed notebooks and records to what Jupyter Book reads.

project     where things lie in a checkout
device      the profile that fits this machine
execute     notebooks executed, where something changed
staging     pages, notebooks and parts laid out for Jupyter Book
build       the book built, where something changed
parts, landing, design, measured_speeds, network_map, explorer, readme
            what is rendered from records
"""
