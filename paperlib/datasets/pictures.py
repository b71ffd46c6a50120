"""placeholder until the datasets branch is merged"""
