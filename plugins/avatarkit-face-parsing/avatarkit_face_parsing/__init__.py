"""A face parser of transformers as an avatarkit segmenter."""
