"""Triples of picture, instruction and head movement at the paper's scale: made, kept and read.

splits      who sees what: which rooms, things and phrasings belong to train, val, test1 and test2
camera      pictures of one particular robot's camera, at the size in which they are learned from
labels      the movement that is right: what brings a thing best into view
generate    one shard from (split, seed, index) and nothing else
store       a shard in files: written whole or not at all, checked when read
make        many shards, on all cores or past one machine
read        shards as arrays to train on
card        what a data set is like, in words, figures and pictures
"""
