"""The commands of `fastconv`, one in each file: DESCRIPTION, add_options(parser), run(args)."""
