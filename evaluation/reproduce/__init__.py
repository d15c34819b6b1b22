"""Tables and figures of the papers, made again: experiments by name, beside what was published."""
