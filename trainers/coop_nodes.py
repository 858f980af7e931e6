"""The TRAINER.COOP and TRAINER.COCOOP nodes, with CoOp's names and defaults.

CoOp defines them in its train.py, not in its trainer files, so trainers written against it expect them wherever they
run. They stand here so that such a file can replace this project's coop.py or cocoop.py.
"""

COOP = {
    "N_CTX": 16,  # number of context vectors
    "CSC": False,  # class-specific context
    "CTX_INIT": "",  # words that initialise the context; their number then replaces N_CTX
    "PREC": "fp16",  # fp32, fp16, bf16 or amp
    "CLASS_TOKEN_POSITION": "end",  # end, middle or front
}
COCOOP = {"N_CTX": 16, "CTX_INIT": "", "PREC": "fp16"}
