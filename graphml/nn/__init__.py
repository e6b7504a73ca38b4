"""Layers, written once in torch over `graphml.block.Block`."""
